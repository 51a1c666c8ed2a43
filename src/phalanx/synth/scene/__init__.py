"""Who and what is seen, from where: hands, people, things held, cameras, clothes, worlds."""
