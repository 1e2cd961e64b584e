"""Random stack files, edits, operations, faults and kills, and what must hold whatever comes. See ADR 32.

    python -m tests.stateful --sequences 2000 --seed 1 --jobs 2     # on the embedded engine
    python -m tests.stateful --sequences 100 --engine pulumi        # on the Pulumi CLI that is on PATH
    python -m tests.stateful --replay failures/1-17.json            # a failure again, step by step

Progress goes to standard error, and at the end there is a table: how many operations of each kind, which faults came
at which server, which clouds, the steps that messages named, and each kind of failure with how often it came
(`--json`: all of it as a document). The first failure of each kind is made smaller (`--shrink SECONDS`) and written
into `--failures DIRECTORY`. The same seed gives the same sequences, with as many jobs. A sequence takes 1-3 s of one
processor on the embedded engine, and ten times that on the CLI.

What must hold, in `run`: what Lightly holds is what is declared, and works; nothing that holds data or is somebody
else's is gone; a dataset goes only where the file says so, and not before its successor is there; previews, refreshes
and refused edits change nothing; an `up` converges, and once more changes nothing and asks Lightly nothing; `check` is
content then; after `destroy` nobody gets in, but by what `check` had listed; no secret is readable anywhere.

- `stacks`: what a stack file may say, and edits
- `sequences`: steps, drawn by Hypothesis, and their file
- `faults`, `emulators`: what goes wrong with a call, in front of each emulator
- `world`, `fast`: clouds, Lightly and the engine, kept and emptied; what makes that cheap
- `recovery`: steps that messages name
- `run`, `shrink`, `many`: one sequence, a smaller one, many
"""
