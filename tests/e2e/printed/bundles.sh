ID=$(worker bundled | grep -o 'wkr_[0-9a-z]*' | head -n 1)
mkdir -p code/app && echo 'def handler(input, env): return input' > code/app/main.py && cd code
