/** falgate's sign, an open gate (SVG): of its pages, and in the bar of a browser. */
export const ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f3a5f"/><path d="M7 26V14a9 9 0 0 1 18 0v12M16 5v21" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
