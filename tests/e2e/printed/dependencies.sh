ID=$(worker bundled | grep -o 'wkr_[0-9a-z]*' | head -n 1)
echo 'def handler(input, env): return input' > main.py && echo 'humanize==4.12.3' > requirements.txt && tar czf bundle.tar.gz main.py requirements.txt
