"""From evidence to a posed hand."""
