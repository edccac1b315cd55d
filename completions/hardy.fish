complete --keep-order --exclusive --command hardy --arguments "(HARDY_COMPLETE=fish hardy -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
