"""How much two agents say to one another when they are measured; the same for each library."""

TELLS = 20_000
WINDOW = 1_000
ASKS = 5_000
