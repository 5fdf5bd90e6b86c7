// What scrolls, as equations and tables do in a narrow window, is reached by keyboard too.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const wide of document.querySelectorAll('mjx-container[display="true"], .pst-scrollable-table-container'))
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
});
