import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['build/', 'node_modules/', '.tap/'] }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error'
    }
  }
]
