"""The vault: tenants' secrets, encrypted at rest and revealed only to the jobs of workers that list them."""
