"""How a judge is asked, and how its answers become scores."""
