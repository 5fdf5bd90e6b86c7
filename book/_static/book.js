// A link to the code of a figure unfolds it.
const unfold = () => document.querySelector(":target > details.hide")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
addEventListener("DOMContentLoaded", unfold);

// An equation that scrolls, as in a narrow window, is reached by keyboard too.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const equation of document.querySelectorAll('mjx-container[display="true"]'))
    if (equation.scrollWidth > equation.clientWidth) equation.tabIndex = 0;
});
