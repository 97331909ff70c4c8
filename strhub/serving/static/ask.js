// Requests to the service.

export async function ask(path, blob) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body: blob, headers: { "Content-Type": blob.type || "application/octet-stream" } });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error?.message ?? `The service says ${answer.status}.`);
  return content;
}
