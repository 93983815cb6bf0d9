"use strict";
// Parts of a page that the server draws again: each names where its pictures come from.
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.onmessage = (event) => {
    if (!part.contains(document.activeElement)) part.innerHTML = event.data;
  };
}
