worker digest
