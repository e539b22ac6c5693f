QUESTION=$(runwright inbox ask "Ship it?" -o json | grep -o 'qst_[0-9a-z]*' | head -1)
