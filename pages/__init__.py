"""One page = controls -> specs; answers.show(specs, draw); draw = one query + one chart."""
