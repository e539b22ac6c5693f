LLM_API_KEY=sk-of-the-test
