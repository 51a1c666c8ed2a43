"""The open body: people whose arms end where the hand model begins."""
