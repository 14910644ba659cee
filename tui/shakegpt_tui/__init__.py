"""The terminal UI of shakegpt: watch a run learn, drive it, leave it, come back.

It reads run logs and writes commands (`shakegpt.runlog`) and never imports torch:
the trainer is a process of its own that the UI can neither slow down nor take with it.
"""
