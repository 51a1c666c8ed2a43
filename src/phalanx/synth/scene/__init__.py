"""Who and what is seen, and from where: hands, people, things that hands hold, cameras, domains."""
