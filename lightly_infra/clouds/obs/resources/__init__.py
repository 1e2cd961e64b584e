"""Thin Pulumi adapters over `lightly_infra.clouds.obs.api`: dynamic resources, one file each.

They stand here and not in `lightly_infra.provider` because clouds and providers do not import each other. State holds
the import path of each provider class. Moving or renaming a module here breaks users' stacks.
"""
