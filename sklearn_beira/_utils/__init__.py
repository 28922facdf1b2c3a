"""What has no subject: numbers, files, warnings, hashes."""
