"""What all our components have in common."""

from __future__ import annotations

from typing import Any

import pulumi


class Component(pulumi.ComponentResource):
    """A component whose children wait for whatever the component itself was told to wait for.

    Pulumi waits for a component's children when something depends on the component, but does not pass the
    component's own `depends_on` down.
    """

    def __init__(self, kind: str, name: str, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(f"lightly-infra:{kind}", name, None, opts)
        self._depends_on = opts.depends_on if opts is not None else None

    def child(self, **options: Any) -> pulumi.ResourceOptions:
        """The options of a child: this parent, what this component waits for, and `options`."""
        return pulumi.ResourceOptions.merge(
            pulumi.ResourceOptions(parent=self, depends_on=self._depends_on), pulumi.ResourceOptions(**options)
        )
