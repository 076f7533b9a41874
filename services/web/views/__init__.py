"""What the pages show: read-only queries, always within the sites a person may see, shaped for the templates."""
