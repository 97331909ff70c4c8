"""Reading over HTTP: the service `strhub-serve`, and the page `strhub-demo` on top of it."""
