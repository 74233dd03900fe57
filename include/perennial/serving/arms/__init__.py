"""Which version sees what: the router's pure functions, and the challenger that answers in the shadow, for nobody."""
