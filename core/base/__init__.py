"""Words of the project: settings, errors, questions, progress. Imports nothing above it."""
