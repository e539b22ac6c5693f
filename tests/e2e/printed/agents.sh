worker annotation-review
