"""Random stack files, edits, operations, faults and kills, and what must hold whatever comes.

python -m tests.stateful --sequences 2000 --seed 1 --jobs 2     # on the embedded engine
python -m tests.stateful --sequences 100 --engine pulumi        # on the Pulumi CLI that is on PATH
python -m tests.stateful --replay failures/1-17.json            # a failure, step by step
"""
