"""Pages of HTML that need nothing else: tables whose every cell is escaped, and plots as SVG."""
