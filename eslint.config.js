import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['build/', 'node_modules/', '.tap/'] }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      // A TypeBox schema and its type share a name; the compiler finds real redeclarations.
      '@typescript-eslint/no-redeclare': 'off'
    }
  }
]
