"""Raw files from the internet, a mirror or an archive: whole, verified, resumed."""
