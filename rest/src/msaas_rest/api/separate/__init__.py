"""POST /apiv1/separate: accept a song."""
