"use strict";
// Shows the operations and schemas that contain every word of the search.
const field = document.getElementById("search");
const entries = Array.from(document.querySelectorAll("details"));
const texts = entries.map((entry) => entry.textContent.toLowerCase());
const sections = Array.from(document.querySelectorAll("section"));
const count = document.getElementById("count");

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  entries.forEach((entry, index) => {
    entry.hidden = !words.every((word) => texts[index].includes(word));
    if (!entry.hidden) shown += 1;
  });
  sections.forEach((section) => {
    section.hidden = !section.querySelector("details:not([hidden])");
  });
  count.textContent = words.length === 0 ? "" : shown === 1 ? "1 entry" : shown + " entries";
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}

field.addEventListener("input", search);
window.addEventListener("hashchange", openTarget);
openTarget();
