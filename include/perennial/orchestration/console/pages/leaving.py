"""The one script of the console: a link that leaves it also leaves Airflow's frame.

Airflow 3.3 shows plugin pages in a frame that is sandboxed with ``allow-scripts allow-same-origin allow-forms
allow-downloads``: a link there may neither replace the whole page nor open another one. A link of the page *around* the
frame may, and the frame has its origin: so the script has that page follow the link. Nothing but links to the web is
passed on, and where the page around is of another origin nothing happens. Without the script everything can be read and
done but leaving the frame.
"""

from base64 import b64encode
from hashlib import sha256

OUT_OF_THE_FRAME = (
    "document.addEventListener('click',function(click){"
    "var link=click.target.closest&&click.target.closest('a[target=_top]');"
    "if(!link||window.top===window.self||!/^https?:$/.test(link.protocol))return;"
    "try{var way=window.top.document.createElement('a');"
    "way.href=link.href;way.rel='noopener';"
    "if(click.ctrlKey||click.metaKey||click.button===1)way.target='_blank';"
    "click.preventDefault();way.click()}catch(foreign){}});"
)

ALLOWED = f"'sha256-{b64encode(sha256(OUT_OF_THE_FRAME.encode()).digest()).decode()}'"
"""What a content security policy says to let this script run, and no other."""
