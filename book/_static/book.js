// A link to the code of a figure unfolds it.
const unfold = () => document.querySelector(":target > details.hide")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
addEventListener("DOMContentLoaded", unfold);
