"""Everything that makes an installation what it is, in one file; and the installation again from that file."""
