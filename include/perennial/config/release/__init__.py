"""How an approved version takes office, and what a challenger shows before."""
