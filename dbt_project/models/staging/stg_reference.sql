select variant, topic, style_median, edit_p60
from {{ lake('reference') }}
