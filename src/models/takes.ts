// Whether a model has a field that takes a value, for what is said in other words than its own.

import { fieldNamesOf, type Model } from './model.ts'

/** Has the model a field that takes this value, whatever else is missing? */
export function takes (model: Model, name: string, value: unknown): boolean {
  if (!fieldNamesOf(model).includes(name)) return false
  const reading = model.readInput({ ...model.example, [name]: value }, { unknownFields: 'refuse', sentDefaults: [] })
  return reading.ok || !reading.faults.some(({ path }) => path === `/${name}` || path.startsWith(`/${name}/`))
}
