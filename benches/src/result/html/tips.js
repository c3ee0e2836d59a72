// Tips on points and parts: on hover with a mouse, on a tap without one. Without this script the browser shows the
// titles itself.
(function () {
  "use strict";
  var tip = document.getElementById("tip");
  document.querySelectorAll("circle.dot > title").forEach(function (title) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  });
  function show(event) {
    var target = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!target) { tip.hidden = true; return; }
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    var box = tip.getBoundingClientRect();
    var left = Math.min(event.clientX + 12, document.documentElement.clientWidth - box.width - 4);
    var top = event.clientY - box.height - 10;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = (top < 4 ? event.clientY + 14 : top) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", function () { tip.hidden = true; }, { passive: true });
})();
