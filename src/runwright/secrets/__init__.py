"""The vault: secrets of tenants, sealed at rest, revealed to jobs that list them and to nobody else."""
