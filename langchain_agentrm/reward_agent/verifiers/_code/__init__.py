"""How `CodeVerifier` asks for checkers, reads them and tries them."""
