"""Reading published reward models: what is there, its head, its loading."""
