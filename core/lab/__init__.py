"""Where questions meet measurements, store and worker."""
