"""Updates of a stack, as Pulumi calls every run of `preview`, `up`, `refresh` and `destroy`: what they tell."""
