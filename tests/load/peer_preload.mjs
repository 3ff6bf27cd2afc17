// Portkey's gateway 1.15.2 from npm adds headers to the responses of fetch, where they are immutable,
// so that every request fails. With this before it (`node --import`) they are not.
const fetched = globalThis.fetch;
const Made = globalThis.Response;
globalThis.fetch = async (...request) => {
  const { body, headers, status, statusText } = await fetched(...request);
  return new Made(body, { headers: new Headers(headers), status, statusText });
};
