"use strict";
// Parts of a page that the server draws again: each names where its pictures come from.
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.onmessage = (event) => {
    if (!part.contains(document.activeElement)) part.innerHTML = event.data;
  };
}
// A page that could not be read is shown as soon as it can be, unless somebody is about to do something on it.
const AGAIN_MILLIS = 3000;
const again = async () => {
  const answer = await fetch(location.href).then((found) => found.text(), () => "data-again");
  if (!answer.includes("data-again") && document.activeElement === document.body) location.reload();
  else setTimeout(again, AGAIN_MILLIS);
};
if (document.querySelector("[data-again]")) setTimeout(again, AGAIN_MILLIS);
