"use strict";
// Parts of a page that the server draws again: each names where it comes from, and of several there, which one it is.
const sources = {};
for (const part of document.querySelectorAll("[data-live]")) {
  const source = (sources[part.dataset.live] ??= new EventSource(part.dataset.live));
  source.addEventListener(part.dataset.part ?? "message", (event) => {
    if (part.contains(document.activeElement)) return;
    const scrolled = [...part.querySelectorAll(".scroll")].map((found) => found.scrollLeft);
    part.innerHTML = event.data;
    part.querySelectorAll(".scroll").forEach((found, number) => (found.scrollLeft = scrolled[number] ?? 0));
  });
}
// A page that could not be read is shown as soon as it can be, unless somebody is about to do something on it.
const AGAIN_MILLIS = 3000;
const again = async () => {
  const answer = await fetch(location.href).then((found) => found.text(), () => "data-again");
  if (!answer.includes("data-again") && document.activeElement === document.body) location.reload();
  else setTimeout(again, AGAIN_MILLIS);
};
if (document.querySelector("[data-again]")) setTimeout(again, AGAIN_MILLIS);
